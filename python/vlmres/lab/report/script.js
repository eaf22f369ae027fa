const button = document.getElementById("copy");
button?.addEventListener("click", async () => {
  const rows = [...document.querySelectorAll("#main tr")];
  const text = rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()).join("\t")).join("\n");
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById("main"));
    button.textContent = "Selected: copy it";
  }
});
