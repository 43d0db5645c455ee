import { fileIdOf } from '../files/file-ids.js';
import type { Media } from '../files/stored-file.js';
import type { WireDocument, WirePhotoSize } from '../page/browser/wire.js';
import type { Bot } from '../world/bot.js';

/** The fields of the Bot API's Message for a photo or document and its caption ('' for none), in JSON, for the bot that sees it. Never throws. */
export function mediaJson(viewer: Bot | undefined, media: Media, caption: string): string {
  const shown = JSON.stringify(media.kind === 'photo' ? photoSizes(viewer, media) : documentValue(viewer, media));
  return `"${media.kind}":${shown}${caption === '' ? '' : `,"caption":${JSON.stringify(caption)}`}`;
}

/** The Bot API's array of PhotoSize: the photo as it was sent, there are no smaller ones. Never throws. */
export function photoSizes(viewer: Bot | undefined, media: Media): WirePhotoSize[] {
  const { width = 0, height = 0 } = media;
  return [{ ...idsOf(viewer, media), width, height }];
}

/** The Bot API's Document. Never throws. */
export function documentValue(viewer: Bot | undefined, media: Media): WireDocument {
  return { ...(media.name !== undefined && { file_name: media.name }), mime_type: media.mime, ...idsOf(viewer, media) };
}

function idsOf(viewer: Bot | undefined, media: Media): Pick<WireDocument, 'file_id' | 'file_unique_id' | 'file_size'> {
  return { file_id: fileIdOf(viewer, media), file_unique_id: media.unique, file_size: media.size };
}
