// What changes the fleet is asked from the balancer's own machine, or with its admin token. Where herd
// wants the token, the person is asked for it; it is kept for this tab only, until it is closed.

import { order, Refused } from "./api.js";
import { render } from "./dom.js";
import { prose } from "./parts.js";

const KEPT = "herd-admin-token";
const HEADER = "X-Herd-Admin-Token";
const WANTED = new Set([401, 403]);
const HERE = new Set(["localhost", "127.0.0.1", "[::1]"]);

const shown = () => {
  const kept = sessionStorage.getItem(KEPT);
  return kept ? { [HEADER]: kept } : {};
};

// Whether an admin's page can be looked at without asking anybody for the token.
export const mayLook = () => HERE.has(location.hostname) || sessionStorage.getItem(KEPT) !== null;

export const look = (path) => order("GET", path, undefined, shown());

export async function asAdmin(method, path, body) {
  try {
    return await order(method, path, body, shown());
  } catch (refused) {
    if (!(refused instanceof Refused) || !WANTED.has(refused.status)) throw refused;
    const token = await asked(refused.message);
    if (!token) throw refused;
    const answer = await order(method, path, body, { [HEADER]: token });
    sessionStorage.setItem(KEPT, token);
    return answer;
  }
}

// Where the fleet is shown to nobody, the token makes a session, so that the feed may be heard too.
export async function signIn(why) {
  const token = await asked(why);
  if (!token) return false;
  await order("POST", "/dashboard/api/login", undefined, { [HEADER]: token });
  sessionStorage.setItem(KEPT, token);
  return true;
}

function asked(why) {
  const dialog = document.getElementById("admin");
  const field = document.getElementById("admin-token");
  render(document.getElementById("admin-why"), prose(why));
  field.value = "";
  dialog.showModal();
  return new Promise((done) => {
    const form = dialog.querySelector("form");
    form.onsubmit = (event) => {
      event.preventDefault();
      dialog.close();
      done(event.submitter?.value === "leave" ? "" : field.value.trim());
    };
    dialog.oncancel = () => done("");
  });
}
