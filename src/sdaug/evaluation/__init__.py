"""Is the view right, and does enrolment gain? Metrics are pure functions; protocols and figures are apart from them."""
