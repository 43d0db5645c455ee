import { api, type FileContent } from './api.js';
import { byId } from './dom.js';
import type { Model } from './model.js';

const PHOTOS = new Set(['image/jpeg', 'image/png', 'image/webp', 'image/gif']);

/**
 * Lets the user send files, by the button, by pasting and by dropping them: pictures as photos, the rest as documents.
 * `takeText` gives and clears what is written in the field, which becomes the caption of the first.
 */
export function attachments(model: Model, takeText: () => string): void {
  const picker = byId('file-picker') as HTMLInputElement;
  const sendAll = async (files: readonly File[]): Promise<void> => {
    const { open: chat, person } = model;
    if (chat === undefined || person === undefined || files.length === 0 || byId('composer').hidden !== false) return;
    let caption = takeText();
    for (const file of files) {
      await model.attempt(contentOf(file).then((content) => api.send(person.id, chat.info.id, content, caption)));
      caption = '';
    }
  };
  byId('attach').addEventListener('click', () => picker.click());
  picker.addEventListener('change', () => {
    const files = [...(picker.files ?? [])];
    picker.value = '';
    void sendAll(files);
  });
  byId('field').addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) event.preventDefault();
    void sendAll(files);
  });
  const chat = byId('chat');
  chat.addEventListener('dragover', (event) => event.preventDefault());
  chat.addEventListener('drop', (event) => {
    event.preventDefault();
    void sendAll([...(event.dataTransfer?.files ?? [])]);
  });
}

async function contentOf(file: File): Promise<FileContent> {
  const base64 = await base64Of(file);
  return PHOTOS.has(file.type) ? { photo: { base64 } } : { document: { base64, name: file.name } };
}

function base64Of(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener('load', () => resolve(String(reader.result).split(',')[1] ?? ''));
    reader.addEventListener('error', () => reject(new Error(`${file.name} cannot be read.`)));
    reader.readAsDataURL(file);
  });
}
