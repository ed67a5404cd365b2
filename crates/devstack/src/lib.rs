//! Starts the real servers and the services on this machine, for the demo, the tests and the benchmarks.
