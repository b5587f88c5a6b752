"""Hypothesis profiles: HYPOTHESIS_PROFILE=thorough tries a thousand examples a property."""

from __future__ import annotations

import os
import signal
import threading

from hypothesis import HealthCheck, settings

settings.register_profile("ci", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell that starts something in the background lets it ignore SIGINT, and its children inherit that: tests that
# interrupt a process need one that listens.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
