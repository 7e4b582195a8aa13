// A playhead on the spectrogram; a click on the picture plays from there.
for (const sound of document.querySelectorAll('.sound')) {
  const audio = sound.querySelector('audio');
  if (!audio) continue;
  const picture = sound.querySelector('.picture');
  const follow = () => {
    picture.style.setProperty('--played', `${100 * audio.currentTime / (audio.duration || 1)}%`);
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener('play', () => {
    for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause();
    picture.classList.add('played');
    follow();
  });
  audio.addEventListener('seeked', follow);
  picture.addEventListener('click', (event) => {
    const box = picture.getBoundingClientRect();
    audio.currentTime = (event.clientX - box.left) / box.width * (audio.duration || 0);
    audio.play();
  });
}
