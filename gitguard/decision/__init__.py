"""From a request to a verdict: the order of questions that gate, hook and `admin explain` share."""
