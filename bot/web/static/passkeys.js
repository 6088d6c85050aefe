"use strict";
/* A button with data-passkey="/path" asks for a passkey: POST /path/begin returns the options for the browser, and POST /path/finish gets its answer.
   With data-make the passkey is new. The fields of the form around the button, and data-then, go along. Both answers are JSON: {"publicKey"}, {"location"}
   or {"error": {"message"}}. The buttons stay hidden until this script runs. */
(() => {
  const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt(0));
  const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const withBytes = list => (list || []).map(one => ({ ...one, id: bytes(one.id) }));

  async function post(url, body, type) {
    const answer = await fetch(url, { method: "POST", body, headers: { "Content-Type": type } });
    if (answer.redirected || !(answer.headers.get("Content-Type") || "").startsWith("application/json")) {
      location.assign("/sign-in?then=" + encodeURIComponent(location.pathname + location.search));
      throw new Error("You are signed out. Sign in again.");
    }
    const reply = await answer.json();
    if (!answer.ok) throw new Error(reply.error.message);
    return reply;
  }

  const ceremony = credentials => async (at, fields = new URLSearchParams()) => {
    const { publicKey } = await post(at + "/begin", fields.toString(), "application/x-www-form-urlencoded");
    publicKey.challenge = bytes(publicKey.challenge);
    if (publicKey.user) publicKey.user.id = bytes(publicKey.user.id);
    for (const list of ["excludeCredentials", "allowCredentials"]) publicKey[list] = withBytes(publicKey[list]);
    const made = await credentials({ publicKey });
    const response = { clientDataJSON: text(made.response.clientDataJSON) };
    for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) if (made.response[part]) response[part] = text(made.response[part]);
    if (made.response.getTransports) response.transports = made.response.getTransports();
    const answer = { id: made.id, rawId: text(made.rawId), type: made.type, clientExtensionResults: made.getClientExtensionResults(), authenticatorAttachment: made.authenticatorAttachment, response };
    return post(at + "/finish", JSON.stringify(answer), "application/json");
  };
  const register = ceremony(options => navigator.credentials.create(options));
  const assert = ceremony(options => navigator.credentials.get(options));

  const status = document.getElementById("status");
  const say = (message, style) => { status.textContent = message; status.className = style; status.scrollIntoView({ block: "nearest" }); };
  const failure = e => e.name === "NotAllowedError" ? "The passkey was not used: you or the device cancelled it, or it could not verify you. Try again."
    : e.name === "InvalidStateError" ? "This device already has a passkey for you here." : e.message;

  for (const button of document.querySelectorAll("button[data-passkey]")) {
    if (!window.PublicKeyCredential) continue;
    button.hidden = false;
    button.form?.addEventListener("submit", event => { if (button.form.matches("[data-form]")) { event.preventDefault(); button.click(); } });
    button.addEventListener("click", async () => {
      if (button.form && !button.form.reportValidity()) return;
      const fields = new URLSearchParams(button.form ? new FormData(button.form) : "");
      if (button.dataset.then) fields.set("then", button.dataset.then);
      button.disabled = true;
      say("Waiting for your passkey …", "notice");
      try {
        const { location: next } = await ("make" in button.dataset ? register : assert)(button.dataset.passkey, fields);
        location.assign(next);
      } catch (e) {
        say(failure(e), "notice bad");
        button.disabled = false;
      }
    });
  }
  if (!window.PublicKeyCredential && document.querySelector("[data-passkey]")) say("This browser has no passkeys. They need https, or localhost.", "notice warn");
})();
