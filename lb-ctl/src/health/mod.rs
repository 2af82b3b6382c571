//! Health checks: a state machine without clock or socket, and the probes that feed it.
