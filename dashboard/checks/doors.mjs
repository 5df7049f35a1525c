// Who may see the page, what it may do, and what it says when mcplex is gone.

import { check, equal } from '../say.mjs';
import { TOKEN } from '../world.mjs';

export const checks = [
  {
    name: 'without a token, and with a wrong one, that is said plainly',
    async run(world, browser) {
      const window = await browser.window({ noise: /status of 401/ });
      const { page } = window;
      await page.goto(`${world.origin}/`);
      await page.locator('#door-why', { hasText: 'No token was given.' }).waitFor();
      check(await page.locator('#fleet').isHidden(), 'there is a fleet all the same');
      equal((await window.faults()).join('; '), '', 'accessibility');
      await window.picture('door');
      const give = async (token) => {
        await page.getByLabel('Token').fill(token);
        await page.getByLabel('Token').press('Enter');
      };
      await give('not-the-token-at-all');
      await page.locator('#door-why', { hasText: 'is not the one of this mcplex' }).waitFor();
      await give(TOKEN);
      await page.locator('#link.live').waitFor();
      await window.health('files', 'ready');
      check(await page.locator('#door').isHidden(), 'it still asks');
      return window;
    },
  },
  {
    name: 'the token leaves the address, and nothing but the page\'s own runs',
    async run(world, browser) {
      const window = await browser.window();
      const response = await window.open(world.link);
      equal(window.page.url(), `${world.origin}/`, 'the address');
      const policy = response.headers()['content-security-policy'];
      check(policy.includes("default-src 'none'") && !policy.includes('unsafe'), policy);
      const ran = await window.page.evaluate(() => {
        const script = document.createElement('script');
        script.textContent = 'globalThis.ran = true';
        document.body.append(script);
        return globalThis.ran === true;
      });
      check(!ran, 'a script without the number of the page runs');
      window.noise = /Content Security Policy/;
      return window;
    },
  },
  {
    name: 'it says that mcplex is gone, and finds it again',
    async run(world, browser) {
      const window = await browser.window({ noise: /net::ERR_/ });
      await window.open(world.link);
      const { page } = window;
      await world.stop();
      await page.locator('#link.off', { hasText: 'not connected' }).waitFor();
      await page.locator('#lost', { hasText: 'mcplex does not answer. What follows is how it was at ' }).waitFor();
      equal((await window.faults()).join('; '), '', 'accessibility');
      await window.picture('gone');
      await world.start();
      await page.locator('#link.live').waitFor();
      await page.locator('#about', { hasText: `process ${world.job.pid},` }).waitFor();
      check(await page.locator('#lost').isHidden(), 'it still says that mcplex is gone');
      await window.health('files', 'ready');
      return window;
    },
  },
  {
    name: 'one that is halted is as good as gone',
    async run(world, browser) {
      const window = await browser.window();
      await window.open(world.link);
      const { page } = window;
      // Its connections stay open, and nothing comes over them.
      process.kill(world.job.pid, 'SIGSTOP');
      try {
        await page.locator('#link.off', { hasText: 'not connected' }).waitFor();
        await page.locator('#lost', { hasText: 'mcplex does not answer. What follows is how it was at ' }).waitFor();
      } finally {
        process.kill(world.job.pid, 'SIGCONT');
      }
      await page.locator('#link.live').waitFor();
      check(await page.locator('#lost').isHidden(), 'it still says that mcplex is gone');
      return window;
    },
  },
  {
    name: 'a clock that is an hour behind makes nothing an hour long',
    async run(world, browser) {
      world.sicken();
      await world.bring('telegram', 'restart', 'tripped');
      const window = await browser.window();
      await window.page.clock.install({ time: Date.now() - 3_600_000 });
      await window.open(world.link);
      await window.health('telegram', 'tripped');
      const since = await window.card('telegram').locator('.since').innerText();
      check(/, \d+ (ms|s|min) ago/.test(since) && !/ h /.test(since), since);
      return window;
    },
  },
];
