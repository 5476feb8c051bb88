// The public Node SDK of the face API, with nothing changed but its host. Told by the environment:
// FACE_URL of the gateway, FACE_KEY and FACE_SECRET of a key that may write. On standard input:
// {"face", "similar", "nobody"}, three pictures in base64. Ends with "done", or with what was wrong.
'use strict';

const assert = require('node:assert');
const { face: AipFace, HttpClient } = require('baidu-aip-sdk');

const CLOUD = 'https://aip.baidubce.com';
const URL_OF_GATEWAY = process.env.FACE_URL;

// The SDK names its host in every request; what it asks with is otherwise its own.
HttpClient.setRequestInterceptor((options) => {
  assert.ok(options.url.startsWith(CLOUD), options.url);
  options.url = URL_OF_GATEWAY + options.url.slice(CLOUD.length);
  if (options.headers) {
    delete options.headers.Host;
    delete options.headers.host;
  }
  return options;
});

function result(answer) {
  assert.strictEqual(answer.error_code, 0, JSON.stringify(answer));
  assert.strictEqual(answer.error_msg, 'SUCCESS');
  return answer.result;
}

function refused(answer, number, message) {
  assert.strictEqual(answer.error_code, number, JSON.stringify(answer));
  assert.strictEqual(answer.error_msg, message);
  assert.strictEqual(answer.result, null);
}

async function story({ face, similar, nobody }) {
  const client = new AipFace('1', process.env.FACE_KEY, process.env.FACE_SECRET);

  refused(await client.addUser(face, 'BASE64', 'staff', 'ada'), 223100, 'group is not exist');
  assert.strictEqual(result(await client.groupAdd('staff')), null);
  refused(await client.groupAdd('staff'), 223101, 'group is already exist');
  assert.deepStrictEqual(result(await client.getGrouplist()).group_id_list, ['staff']);

  const added = result(await client.addUser(face, 'BASE64', 'staff', 'ada', { user_info: '宇航员' }));
  refused(await client.addUser(face, 'BASE64', 'staff', 'ada'), 223105, 'face is already exist');
  assert.deepStrictEqual(result(await client.getGroupUsers('staff')).user_id_list, ['ada']);
  assert.strictEqual(result(await client.getUser('ada', 'staff')).user_list[0].user_info, '宇航员');

  const fields = 'age,beauty,landmark,race,quality,facetype,parsing';
  const seen = result(await client.detect(face, 'BASE64', { face_field: fields }));
  assert.strictEqual(seen.face_num, 1);
  assert.strictEqual(seen.face_list[0].face_token, added.face_token);
  assert.strictEqual(seen.face_list[0].landmark.length, 4);
  assert.strictEqual(seen.face_list[0].landmark72.length, 72);
  assert.ok(Number.isInteger(seen.face_list[0].location.width));
  refused(await client.detect(nobody, 'BASE64'), 222202, 'pic not has face');
  refused(await client.detect('0'.repeat(32), 'FACE_TOKEN'), 222209, 'face token not exist');

  const [found] = result(await client.search(similar, 'BASE64', 'staff')).user_list;
  assert.strictEqual(found.user_id, 'ada');
  assert.ok(found.score > 80);
  const two = [face, similar].map((image) => ({ image, image_type: 'BASE64' }));
  assert.ok(result(await client.match(two)).score > 80);
  const alive = result(await client.faceverify([{ image: added.face_token, image_type: 'FACE_TOKEN' },
    two[1]]));
  assert.ok(alive.face_liveness >= 0 && alive.face_liveness <= 1);

  const listed = result(await client.faceGetlist('ada', 'staff')).face_list;
  assert.deepStrictEqual(listed.map((one) => one.face_token), [added.face_token]);
  result(await client.faceDelete('ada', 'staff', added.face_token));
  refused(await client.search(face, 'BASE64', 'staff'), 222207, 'match user is not found');
  refused(await client.getUser('ada', 'staff'), 223103, 'user is not exist');
  result(await client.groupDelete('staff'));

  const thief = new AipFace('1', process.env.FACE_KEY, process.env.FACE_SECRET);
  await thief.pms;
  thief.setAccessToken('no.token');
  const locked = await thief.getGrouplist();
  refused(locked, 110, 'Access token invalid or no longer valid');
}

let text = '';
process.stdin.on('data', (part) => { text += part; });
process.stdin.on('end', () => {
  story(JSON.parse(text)).then(() => console.log('done'), (error) => {
    console.error(error);
    process.exitCode = 1;
  });
});
