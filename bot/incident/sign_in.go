package incident

// AboutSignIn is the argument "about" of the notice about a sign-in that no issuer vouches
// for. The others are "person" (a name), "through" ([ThroughPasskey] or [ThroughHost]) and
// "at" (RFC 3339).
const AboutSignIn = "sign_in"

// AboutLoginLink is the argument "about" of the notice about a login link. The others are
// "person" (a name), "by" (a user of the host) and "at" (RFC 3339).
const AboutLoginLink = "login_link"
