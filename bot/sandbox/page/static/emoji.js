// Known emoji by name. Other shortcodes are shown unchanged.

const table = `+1 👍 -1 👎 thumbsup 👍 thumbsdown 👎 alarm_clock ⏰ alert 🚨 arrow_left ⬅️ arrow_right ➡️ arrow_up ⬆️ arrow_down ⬇️
arrows_counterclockwise 🔄 ballot_box_with_check ☑️ bangbang ‼️ bar_chart 📊 bell 🔔 no_bell 🔕 black_circle ⚫ book 📖 boom 💥 bookmark 🔖
bug 🐛 bulb 💡 bust_in_silhouette 👤 busts_in_silhouette 👥 calendar 📅 spiral_calendar_pad 🗓️ chart_with_upwards_trend 📈 checkered_flag 🏁
clap 👏 clipboard 📋 clock1 🕐 cloud ☁️ closed_lock_with_key 🔐 construction 🚧 credit_card 💳 cry 😢 detective 🕵️ email 📧 envelope ✉️ exclamation ❗ eyes 👀 fast_forward ⏩
file_folder 📁 fire 🔥 fire_engine 🚒 flashlight 🔦 gear ⚙️ green_circle 🟢 grey_exclamation ❕ grey_question ❔ hammer_and_wrench 🛠️ handshake 🤝 heart ❤️
heavy_check_mark ✔️ heavy_minus_sign ➖ heavy_plus_sign ➕ hourglass ⌛ hourglass_flowing_sand ⏳ house 🏠 inbox_tray 📥 information_source ℹ️ key 🔑 label 🏷️
blue_circle 🔵 large_blue_circle 🔵 large_green_circle 🟢 large_orange_circle 🟠 large_red_circle 🔴 large_yellow_circle 🟡 leftwards_arrow_with_hook ↩️ level_slider 🎚️ link 🔗 lock 🔒
lock_with_ink_pen 🔏 lower_left_fountain_pen 🖋️ loudspeaker 📢 mag 🔍 mailbox 📫 man-raising-hand 🙋 mega 📣 memo 📝 moneybag 💰 newspaper 📰 no_entry ⛔ no_entry_sign 🚫 ok ✅ ok_hand 👌
octagonal_sign 🛑 open_file_folder 📂 orange_circle 🟠 outbox_tray 📤 package 📦 page_facing_up 📄 page_with_curl 📃 pager 📟 paperclip 📎 pencil ✏️ pencil2 ✏️ point_right 👉 pray 🙏
pushpin 📌 question ❓ raised_hand ✋ raising_hand 🙋 red_circle 🔴 repeat 🔁 robot_face 🤖 rocket 🚀 rotating_light 🚨 round_pushpin 📍 satellite 📡 scales ⚖️ scream 😱 scroll 📜 see_no_evil 🙈
shield 🛡️ shrug 🤷 sleeping 😴 small_blue_diamond 🔹 small_orange_diamond 🔸 smile 😄 sos 🆘 sparkles ✨ speech_balloon 💬 star ⭐ stopwatch ⏱️ tada 🎉 telephone_receiver 📞 thinking_face 🤔 thread 🧵 ticket 🎫 timer_clock ⏲️
triangular_flag_on_post 🚩 twisted_rightwards_arrows 🔀 unlock 🔓 warning ⚠️ wastebasket 🗑️ wave 👋 white_check_mark ✅ white_large_square ⬜ white_circle ⚪ wrench 🔧 writing_hand ✍️ x ❌ yellow_circle 🟡 zap ⚡ zzz 💤`;

export const emoji = Object.create(null);
const list = table.split(/\s+/);
for (let i = 0; i + 1 < list.length; i += 2) emoji[list[i]] = list[i + 1];

// Replacements on machines without an emoji font.
const signs = { white_check_mark: "✔", heavy_check_mark: "✔", ok: "✔", ballot_box_with_check: "☑", x: "✘", warning: "⚠", rotating_light: "⚠", alert: "⚠", exclamation: "❢", hourglass: "◷",
  hourglass_flowing_sand: "◷", alarm_clock: "◷", telephone_receiver: "☎", pager: "☎", pencil: "✎", pencil2: "✎", memo: "✎", writing_hand: "✍", lower_left_fountain_pen: "✒", no_entry: "⊘", no_entry_sign: "⊘", octagonal_sign: "⊘",
  arrow_right: "→", arrow_left: "←", fast_forward: "»", repeat: "↻", arrows_counterclockwise: "↻", leftwards_arrow_with_hook: "↩", email: "✉", envelope: "✉", gear: "⚙", hammer_and_wrench: "⚒", scales: "⚖", checkered_flag: "⚑",
  triangular_flag_on_post: "⚑", star: "★", heart: "♥", "+1": "+1", thumbsup: "+1", "-1": "−1", thumbsdown: "−1", question: "?", grey_question: "?", grey_exclamation: "!", information_source: "ℹ", eyes: "◉", zap: "↯",
  bell: "♪", raised_hand: "✔", wave: "☺", bust_in_silhouette: "☻", busts_in_silhouette: "☻", level_slider: "⇅", pushpin: "⚐", key: "⚷", lock: "⚿", unlock: "⚿", lock_with_ink_pen: "⚿",
  shield: "⛨", calendar: "▦", book: "❡", clipboard: "❡", page_facing_up: "▤", file_folder: "▣", mega: "◁", speech_balloon: "❝", robot_face: "⚙", handshake: "⇄", wastebasket: "⌫", twisted_rightwards_arrows: "⇉", link: "∞",
  red_circle: "●", large_red_circle: "●", white_circle: "○", white_large_square: "☐", small_blue_diamond: "◆", small_orange_diamond: "◆", black_circle: "●", tada: "✶", sparkles: "✶" };

/** colours reports whether the browser draws emoji in colour, not as empty boxes. */
function colours() {
  const pen = Object.assign(document.createElement("canvas"), { width: 16, height: 16 }).getContext("2d", { willReadFrequently: true });
  pen.font = "12px sans-serif";
  pen.fillText("🔥", 0, 13);
  const dots = pen.getImageData(0, 0, 16, 16).data;
  for (let i = 0; i < dots.length; i += 4) if (dots[i + 3] > 60 && Math.abs(dots[i] - dots[i + 2]) > 40) return true;
  return false;
}
const drawn = colours();

/** emojiText returns the emoji with a name, or a replacement that can be displayed. */
export function emojiText(name) {
  if (!emoji[name]) return ":" + name + ":";
  return drawn ? emoji[name] : signs[name] || "▪";
}
