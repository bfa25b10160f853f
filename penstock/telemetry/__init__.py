"""What operators see: metrics, logs, timings. Knows nothing of the stages that report here."""
