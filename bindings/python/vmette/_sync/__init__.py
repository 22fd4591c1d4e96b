"""The synchronous face. Its other modules are made of those in vmette.aio when vmette is built."""
