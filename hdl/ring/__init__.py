"""What the queues of both ways are made of: descriptors out of host memory, completions into it, interrupts."""
