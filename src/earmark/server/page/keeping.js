// The button that keeps the page on this machine, where the engine can.

export async function offerKeeping(button, offline, { note, fail }) {
  button.hidden = !offline || (await offline.isKept());
  button.onclick = async () => {
    button.disabled = true;
    note("Fetching all of the page …");
    try {
      await offline.keep();
      button.hidden = true;
      note("The page is kept. It works without a network now, at this address.");
    } catch (error) {
      fail(error);
    }
    button.disabled = false;
  };
}
