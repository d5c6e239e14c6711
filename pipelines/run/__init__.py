"""The job: plan, graph, start, conclusion, and the manifest it leaves."""
