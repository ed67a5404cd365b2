//! What all services share: settings, models, the database, the circuit breaker, lifecycle and logs.
