# Debian packages that a build needs, and what to say when they are missing
