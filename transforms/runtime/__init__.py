"""What every room needs: storage, Parquet files, spooled payloads, buckets, reports, metrics."""
