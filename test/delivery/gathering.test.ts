import t from 'tap';
import { gathering } from '../../src/delivery/gathering.js';

t.test('a commit waits for nineteen of twenty slots while the two before it carried as many', async (t) => {
  const commits = gathering(40);
  t.equal(commits.until(1, 0), undefined, 'the first begins at once');
  commits.acknowledged(5, 0, 3);
  t.equal(commits.until(5, 3), undefined, 'few were carried: calls are slower than commits');
  commits.acknowledged(33, 3, 7);
  t.equal(commits.until(2, 7), 15, 'twice as long as the commit before took');
  t.equal(commits.until(37, 10), 15);
  t.equal(commits.until(38, 10), undefined, 'enough have ended');
  t.equal(commits.until(5, 15), undefined, 'the time is over');
  commits.acknowledged(35, 15, 18);
  commits.acknowledged(5, 18, 20);
  t.equal(commits.until(5, 20), 24, 'a small one behind a large one is in step with it');
});

t.test('a slow store makes no commit wait for long, a lone reply behind a burst goes on', async (t) => {
  const commits = gathering(10);
  commits.acknowledged(10, 0, 60_000);
  t.equal(commits.until(1, 60_000), 60_010);
  t.equal(commits.until(1, 60_010), undefined);
  commits.acknowledged(1, 60_010, 60_012);
  commits.acknowledged(1, 60_012, 60_014);
  t.equal(commits.until(1, 60_014), undefined);
});
