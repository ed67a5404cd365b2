//! What every HTTP port shares: serving with timeouts and draining, and the operations endpoints.
