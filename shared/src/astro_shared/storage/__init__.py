"""Object storage behind one port: a folder here, S3 where there is one."""
