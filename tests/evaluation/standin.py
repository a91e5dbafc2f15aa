"""A judge that is there at once and needs nothing; its observations are a test's own."""


class Present:
    """All of `judges.Judge` but `name` and `observe`."""

    version, sha256 = "fake", "0" * 64

    def available(self):
        return True

    def advice(self):
        return ""

    def fetch(self):
        pass
