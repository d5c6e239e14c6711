"""The job on engines that are not this machine's own: what any of them may do, and a real Flink."""
