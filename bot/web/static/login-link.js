"use strict";
/* Fills in the code of a login link. Browsers do not send the part after # to servers, so that it is in no log. */
if (location.hash.length > 1) {
  document.getElementById("code").value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
}
