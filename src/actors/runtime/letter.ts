import type { Question } from './question.js';

/** Mail that is more than its message: a question, or what one life of an actor sent to itself by a timer or a pipe. Plain mail lies in the mailbox as it is. */
export class Letter {
  readonly message: unknown;
  readonly question: Question | undefined;
  /** The life that sent it to itself. */
  readonly life: object | undefined;

  constructor(message: unknown, question: Question | undefined, life: object | undefined) {
    this.message = message;
    this.question = question;
    this.life = life;
  }
}
