//! AWS's partitions: which region is in which, and the host names of each. Source: botocore's `partitions.json`.
//! Knows no service.

/// A separate set of regions with its own names and its own IAM.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    /// As in an ARN.
    pub name: &'static str,
    /// The regions are `PREFIX-WORD-NUMBER`.
    prefixes: &'static [&'static str],
    /// What host names end in.
    pub dns_suffix: &'static str,
    /// What the host names that also have IPv6 addresses end in.
    pub dual_stack_suffix: &'static str,
    /// Its endpoints have certificates that no public authority has signed.
    pub is_isolated: bool,
    /// The region of what belongs to no region.
    pub implicit_region: &'static str,
}

const fn partition(
    name: &'static str,
    prefixes: &'static [&'static str],
    dns_suffix: &'static str,
    dual_stack_suffix: &'static str,
    is_isolated: bool,
    implicit_region: &'static str,
) -> Partition {
    Partition { name, prefixes, dns_suffix, dual_stack_suffix, is_isolated, implicit_region }
}

const AWS: Partition = partition(
    "aws",
    &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"],
    "amazonaws.com",
    "api.aws",
    false,
    "us-east-1",
);

static PARTITIONS: [Partition; 8] = [
    AWS,
    partition("aws-cn", &["cn"], "amazonaws.com.cn", "api.amazonwebservices.com.cn", false, "cn-northwest-1"),
    partition("aws-us-gov", &["us-gov"], "amazonaws.com", "api.aws", false, "us-gov-west-1"),
    partition("aws-eusc", &["eusc-de"], "amazonaws.eu", "api.amazonwebservices.eu", false, "eusc-de-east-1"),
    partition("aws-iso", &["us-iso"], "c2s.ic.gov", "api.aws.ic.gov", true, "us-iso-east-1"),
    partition("aws-iso-b", &["us-isob"], "sc2s.sgov.gov", "api.aws.scloud", true, "us-isob-east-1"),
    partition("aws-iso-e", &["eu-isoe"], "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", true, "eu-isoe-west-1"),
    partition("aws-iso-f", &["us-isof"], "csp.hci.ic.gov", "api.aws.hci.ic.gov", true, "us-isof-south-1"),
];

impl Partition {
    /// The partition called `name` in an ARN.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PARTITIONS.iter().find(|partition| partition.name == name)
    }

    /// The partition of `region`. A region that nobody has heard of is taken for one of `aws`, as the SDKs do, so
    /// that a new region needs no new version of this program.
    #[must_use]
    pub fn of_region(region: &str) -> &'static Self {
        static FALLBACK: Partition = AWS;
        PARTITIONS.iter().find(|partition| partition.contains(region)).unwrap_or(&FALLBACK)
    }

    fn contains(&self, region: &str) -> bool {
        region.strip_suffix("-global") == Some(self.name)
            || self.prefixes.iter().any(|prefix| {
                region
                    .strip_prefix(prefix)
                    .and_then(|rest| rest.strip_prefix('-'))
                    .and_then(|rest| rest.split_once('-'))
                    .is_some_and(|(word, number)| {
                        !word.is_empty()
                            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                            && !number.is_empty()
                            && number.bytes().all(|byte| byte.is_ascii_digit())
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_finds_its_partition() {
        for (region, name) in [
            ("us-east-1", "aws"),
            ("mx-central-1", "aws"),
            ("ap-southeast-7", "aws"),
            ("cn-northwest-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("eusc-de-east-1", "aws-eusc"),
            ("us-iso-west-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
            ("aws-global", "aws"),
            ("aws-cn-global", "aws-cn"),
            ("aws-iso-b-global", "aws-iso-b"),
            ("zz-test-1", "aws"),
            ("us-gov-west-", "aws"),
            ("", "aws"),
        ] {
            assert_eq!(Partition::of_region(region).name, name, "{region}");
        }
    }
}
