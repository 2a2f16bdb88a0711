//! `GetCallerIdentity`: needs no permission, tells who signed.

use super::Call;
use crate::form::escape_xml;

pub(super) fn perform(call: &Call<'_>) -> String {
    let identity = &call.caller.identity;
    format!(
        "  <GetCallerIdentityResult>\n    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    \
         <Account>{}</Account>\n  </GetCallerIdentityResult>\n",
        escape_xml(&identity.arn()),
        escape_xml(&identity.user_id()),
        identity.account(),
    )
}
