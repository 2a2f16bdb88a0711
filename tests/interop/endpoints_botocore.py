#!/usr/bin/env python3
"""Compares the STS endpoints of tests/config/endpoints.txt with those of botocore's rule set.

The table is also compared with rolekeeper's own rules (`cargo test -p rolekeeper --lib config::endpoint`).

Usage: endpoints_botocore.py [--write]      with --write, writes the table from botocore's rules
Exits 0 where everything agrees, 1 where anything differs, 77 (skipped) where botocore is not installed.
"""

import pathlib
import sys

TABLE = pathlib.Path(__file__).resolve().parent.parent / "config" / "endpoints.txt"
UNKNOWN = ["zz-test-1", "us-nowhere-9"]
HEADER = "# Region, options, URL and signing region of STS, as botocore's rule set gives them; see tests/interop.\n"


def resolver():
    import botocore.loaders
    from botocore.endpoint_provider import EndpointProvider

    loader = botocore.loaders.Loader()
    partitions = loader.load_data("partitions")
    rules = loader.load_service_model("sts", "endpoint-rule-set-1")
    regions = [region for partition in partitions["partitions"] for region in partition["regions"]]
    return EndpointProvider(rules, partitions), regions + UNKNOWN


def lines():
    provider, regions = resolver()
    for region in regions:
        # The rule set builds FIPS and dual-stack names for the pseudo regions too, but nobody serves them.
        choices = ["-"] if region.endswith("-global") else ["-", "fips", "dualstack", "fips+dualstack", "legacy"]
        for options in choices:
            endpoint = provider.resolve_endpoint(
                Region=region,
                UseFIPS="fips" in options,
                UseDualStack="dualstack" in options,
                UseGlobalEndpoint=options == "legacy",
            )
            schemes = endpoint.properties.get("authSchemes") or [{}]
            yield f"{region} {options} {endpoint.url} {schemes[0].get('signingRegion', region)}\n"


def main():
    try:
        import botocore
    except ImportError:
        print("skipped: botocore is not installed", file=sys.stderr)
        return 77
    if "--write" in sys.argv[1:]:
        TABLE.write_text(HEADER + "".join(lines()), encoding="utf-8")
        return 0
    ours = set(TABLE.read_text(encoding="utf-8").splitlines(keepends=True)) - {HEADER}
    # Regions that are younger than the table are none of its business.
    known = {line.split(" ")[0] for line in ours}
    theirs = {line for line in lines() if line.split(" ")[0] in known}
    for line in sorted(ours ^ theirs):
        print("only", "here:" if line in ours else "botocore:", line, end="", file=sys.stderr)
    print(f"botocore {botocore.__version__}: {len(ours & theirs)} of {len(ours)} endpoints agree")
    return 0 if ours == theirs else 1


if __name__ == "__main__":
    sys.exit(main())
