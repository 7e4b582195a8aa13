// The microphone as blocks of samples at its own rate, as it hears: nothing is cancelled, suppressed or levelled.

import { Problem } from "./problems.js";

const AS_IT_IS = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const PROBLEMS = {
  NotAllowedError:
    "The microphone may not be used: permission was not given. Allow it for this page in the browser's settings.",
  NotFoundError: "There is no microphone. Connect one, or choose a file.",
  NotReadableError: "The microphone cannot be opened: another program may be using it.",
};

// begin(sampleRate) gives what takes each block; ended is called where the microphone goes away by itself. The result
// can be stopped.
export async function openMicrophone(begin, ended) {
  if (!navigator.mediaDevices?.getUserMedia)
    throw new Problem(
      "microphone",
      "A browser gives the microphone only to pages from this machine (localhost) or over https.",
    );
  const media = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS }).catch((error) => {
    throw new Problem("microphone", PROBLEMS[error.name] ?? `The microphone cannot be opened (${error.name}).`);
  });
  const context = new AudioContext();
  const stop = () => {
    media.getTracks().forEach((track) => track.stop());
    return context.close();
  };
  try {
    await context.audioWorklet.addModule(new URL("./microphone_worklet.js", import.meta.url));
  } catch (error) {
    await stop();
    throw error;
  }
  const tap = new AudioWorkletNode(context, "tap", {
    numberOfOutputs: 0,
    channelCount: 1,
    channelCountMode: "explicit",
  });
  const heard = begin(context.sampleRate);
  tap.port.onmessage = ({ data }) => heard(data);
  media.getAudioTracks()[0].onended = ended;
  context.createMediaStreamSource(media).connect(tap);
  return { stop };
}
