"""Holds the SARIF on standard input against the official schema; says what is wrong, and fails."""

import json
import pathlib
import subprocess
import sys

import jsonschema

manifest = pathlib.Path(__file__).parent / "Cargo.toml"
metadata = subprocess.run(
    ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", str(manifest)],
    check=True, capture_output=True, text=True,
)
[crate] = [package for package in json.loads(metadata.stdout)["packages"] if package["name"] == "serde-sarif"]
schema = json.loads((pathlib.Path(crate["manifest_path"]).parent / "src" / "schema.json").read_text())
report = json.load(sys.stdin)
validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
errors = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(report)]
print("\n".join(errors) or f"{len(report['runs'][0]['results'])} results are as the schema wants them")
sys.exit(bool(errors))
