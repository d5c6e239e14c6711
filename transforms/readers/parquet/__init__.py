"""Parquet files in batches of bounded size, whatever their pages unpack to."""
