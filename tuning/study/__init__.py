"""One study: its directory, lease, log, executors and reruns."""
