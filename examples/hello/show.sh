#!/bin/sh
# Prints what the build made.
cat "$GREETING_FILE"
echo "($(cat lines.txt) lines in $GREETING_FILE)"
