// What changes the fleet is asked from the balancer's own machine, or with its admin token. Where herd
// wants the token, the person is asked for it; it is kept for this tab only, until it is closed.

import { post, Refused } from "./api.js";

const KEPT = "herd-admin-token";
const HEADER = "X-Herd-Admin-Token";
const WANTED = new Set([401, 403]);

export async function asAdmin(path, body) {
  const kept = sessionStorage.getItem(KEPT);
  try {
    return await post(path, body, kept ? { [HEADER]: kept } : {});
  } catch (refused) {
    if (!(refused instanceof Refused) || !WANTED.has(refused.status)) throw refused;
    const token = await asked(refused.message);
    if (!token) throw refused;
    const answer = await post(path, body, { [HEADER]: token });
    sessionStorage.setItem(KEPT, token);
    return answer;
  }
}

function asked(why) {
  const dialog = document.getElementById("admin");
  const field = document.getElementById("admin-token");
  document.getElementById("admin-why").textContent = why;
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
