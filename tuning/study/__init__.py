"""One study: its schedule, executors, directory, lease, log and reruns."""
