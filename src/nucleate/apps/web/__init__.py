"""The local web page: ``nucleate serve``. Only this machine can reach it, and only with the secret of the run."""
