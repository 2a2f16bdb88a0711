//! The rules of the fake that could be lax without anybody noticing. Requests are signed by `aws-sigv4`.

#[cfg(test)]
mod client;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod program;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod signatures;
