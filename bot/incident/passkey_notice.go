package incident

// AboutPasskey is the argument "about" of the notice about a passkey. The others are the "event", which is the kind of the event of the
// log or "counter", the "person" and who did it ("by"), the fingerprint ("key"), the times "at" and "since" (RFC 3339), and one of the
// "people" who gets the mail besides security.
const AboutPasskey = "passkey"
