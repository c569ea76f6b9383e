// The room is the address: /lobby is the channel board:lobby. The first line you send is your name.
const channel = `board:${location.pathname.slice(1)}`;
const show = (from, text) => {
  const line = document.createElement('li');
  const who = document.createElement('span');
  who.className = from ? 'from' : 'aside';
  who.textContent = from ? `${from}: ` : '* ';
  line.append(who, text);
  document.getElementById('lines').append(line);
};
const tell = (text) => {
  document.getElementById('state').textContent = text;
};

let token;
let socket;
let last = '0';

async function enter(username) {
  const body = JSON.stringify({ username });
  const reply = await fetch('/access', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (!reply.ok) return tell((await reply.json()).detail);
  token = (await reply.json()).token;
  open();
}

function open() {
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`, 'inkwire.v1');
  socket.onopen = () => {
    socket.send(JSON.stringify({ op: 'auth', token }));
    // The server keeps the log: after a drop the chat goes on after the last line that was seen.
    socket.send(JSON.stringify({ id: 1, op: 'subscribe', channel, offset: last }));
  };
  socket.onmessage = ({ data }) => {
    const said = JSON.parse(data);
    if (said.error) tell(said.error.message);
    else if (said.id === 1) tell(`You are in ${channel}.`);
    for (const message of said.messages ?? []) {
      show(message.from, message.text);
      if (said.channel === channel) last = message.offset;
    }
  };
  socket.onclose = () => {
    tell('The line is down; dialling again …');
    setTimeout(open, 500 + Math.random() * 1000);
  };
}

document.getElementById('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = document.getElementById('text');
  if (!token) enter(text.value);
  else socket.send(JSON.stringify({ op: 'publish', channel, fields: { text: text.value } }));
  text.value = '';
});
