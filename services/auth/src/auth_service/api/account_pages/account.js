"use strict";
// The token is behind "#": it is taken out of the address at once, so that neither history nor a copied link keeps it.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);

const form = document.querySelector("form");
const answer = document.getElementById("answer");

function finish(text) {
  form.hidden = true;
  answer.textContent = text;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = Object.fromEntries(new FormData(form));
  const typed = body.new_password ?? body.password;
  if (typed !== undefined && typed !== body.again) {
    answer.textContent = "The two passwords differ.";
    return;
  }
  delete body.again;
  body[form.dataset.token ?? "token"] = token;
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const response = await fetch(form.dataset.send, {
      method: "POST",
      credentials: "omit",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) {
      finish(form.dataset.done);
    } else {
      answer.textContent = (await response.json()).detail;
    }
  } catch {
    answer.textContent = "The server cannot be reached at the moment; try again.";
  } finally {
    button.disabled = false;
  }
});

if (!token) {
  finish("This link is not complete: copy it from the letter as a whole.");
}
