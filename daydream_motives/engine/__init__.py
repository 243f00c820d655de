"""What answers: backends, sampling, and the façade that games talk to."""
