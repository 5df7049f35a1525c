//! Trace context that crosses processes and outlives spans.
