using System.Text.Json;

namespace LongCat.ML.Checkpoints.Tests.ChatTemplates;

/// <summary>
/// The chat formats of the model families, each by a template that is written here with the constructs that family's templates use. The LongCat texts are
/// those that the model cards print.
/// </summary>
public class ChatFormatTests
{
    private const string LongcatRounds = """
        {%- set ns = namespace(rounds=0, first=true) -%}
        {%- if messages[0]['role'] == 'system' -%}
            {{- 'SYSTEM:' + messages[0]['content'] -}}
            {%- set ns.first = false -%}
            {%- set messages = messages[1:] -%}
        {%- endif -%}
        {%- for message in messages -%}
            {%- if message['role'] == 'user' -%}
                {{- ('' if ns.first else ' ') + '[Round ' ~ ns.rounds ~ '] USER:' + message['content'] -}}
                {%- set ns.rounds = ns.rounds + 1 -%}
                {%- set ns.first = false -%}
            {%- elif message['role'] == 'assistant' -%}
                {{- ' ASSISTANT:' + message['content'] + '</longcat_s>' -}}
            {%- else -%}
                {{- raise_exception('unknown role ' + message['role']) -}}
            {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{- ' ASSISTANT:' -}}{%- endif -%}
        """;

    private const string LongcatThinking = """
        {%- set ns = namespace(types = [], last_query_index = -1) %}
        {%- if tools %}
            {{- "<longcat_tool_declare>\n# Tools\nYou have access to the following tools:\n\n" }}
            {%- for tool in tools %}
                {%- if tool.type not in ns.types %}
                    {%- set ns.types = ns.types + [tool.type] %}
                    {{- "## Tool namespace: " ~ tool.type ~ "\n\n" }}
                {%- endif %}
                {{- "### Tool name: " + tool.function.name + "\n" }}
                {{- "Description: " + tool.function.description + "\n\n" }}
                {{- "InputSchema: " + tool.function.parameters | tojson(ensure_ascii=False) + "\n\n" }}
            {%- endfor %}
            {{- "</longcat_tool_declare>" -}}
            {%- for idx in range(messages|length - 1) %}
                {%- if messages[idx].role == 'assistant' and not messages[idx].tool_calls %}
                    {%- set ns.last_query_index = idx %}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {%- set ns.last_user = -1 %}
        {%- for message in messages %}{% if message.role == 'user' %}{% set ns.last_user = loop.index0 %}{% endif %}{% endfor %}
        {%- for message in messages %}
            {%- if message.role == "system" %}
                {{- "<longcat_system>" + message.content }}
            {%- elif message.role == "user" %}
                {{- "<longcat_user>" }}
                {%- if message["files"] %}{{- '<longcat_files>\n' ~ message.files | tojson(indent=2) ~ '\n</longcat_files>' }}{% endif %}
                {{- message.content ~ (' /think_on ' if enable_thinking and loop.index0 == ns.last_user else '') }}
            {%- elif message.role == "assistant" %}
                {{- "<longcat_assistant>" }}
                {%- if message.reasoning_content and (save_history_reasoning_content or (ns.types and loop.index0 > ns.last_query_index)) %}
                    {{- "\n<longcat_think>\n" ~ message.reasoning_content ~ "\n</longcat_think>\n" }}
                {%- endif %}
                {{- message.content or '' }}
                {%- for call in message.tool_calls or [] %}
                    {{- "<longcat_tool_call>" ~ call.function.name ~ "\n" }}
                    {%- for k, v in call.function.arguments.items() %}
                        {{- "<longcat_arg_key>" ~ k ~ "</longcat_arg_key>\n<longcat_arg_value>" ~ (v if v is string else v | tojson) ~ "</longcat_arg_value>\n" }}
                    {%- endfor %}
                    {{- "</longcat_tool_call>\n" }}
                {%- endfor %}
                {{- "</longcat_s>" }}
            {%- elif message.role == "tool" %}
                {%- if messages[loop.index0 - 1].role != "tool" %}{{- "<longcat_user>" }}{% endif %}
                {{- "<longcat_tool_response>" ~ message.content ~ "</longcat_tool_response>" }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- "<longcat_assistant>" ~ ("<longcat_think>\n" if enable_thinking else '') }}
        {%- endif %}
        """;

    private static readonly ChatMessage[] s_chat = [new("system", "S"), new("user", "Q1"), new("assistant", "A1"), new("user", "Q2")];

    [Fact]
    public void LongcatFlashCountsRounds()
    {
        ChatTemplate template = ChatTemplate.Parse(LongcatRounds, "flash");

        Assert.Equal("SYSTEM:S [Round 0] USER:Q1 ASSISTANT:A1</longcat_s> [Round 1] USER:Q2 ASSISTANT:", template.Render(s_chat));
        Assert.Equal("[Round 0] USER:Q", template.Render([new("user", "Q")], new ChatTemplateOptions { AddGenerationPrompt = false }));
        ChatTemplateException refused = Assert.Throws<ChatTemplateException>(() => template.Render([new("narrator", "x")]));
        Assert.Contains("unknown role narrator", refused.Message, StringComparison.Ordinal);
        Assert.Equal(15, refused.Line);
    }

    [Fact]
    public void LongcatThinkingMarksTheLastUserTurn()
    {
        ChatTemplate template = ChatTemplate.Parse(LongcatThinking, "thinking");

        Assert.Equal(
            "<longcat_system>S<longcat_user>Q1<longcat_assistant>A1</longcat_s><longcat_user>Q2 /think_on <longcat_assistant><longcat_think>\n",
            template.Render(s_chat, new ChatTemplateOptions { Variables = new Dictionary<string, object?> { ["enable_thinking"] = true } }));
        Assert.Equal("<longcat_system>S<longcat_user>Q1<longcat_assistant>A1</longcat_s><longcat_user>Q2<longcat_assistant>", template.Render(s_chat));
    }

    [Fact]
    public void LongcatToolsReachTheTemplate()
    {
        ChatTemplate template = ChatTemplate.Parse(LongcatThinking, "lite");
        JsonElement tool = Json("""{"type": "function", "function": {"name": "weather", "description": "The weather of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Größe"}}}}}""");
        ChatMessage[] messages =
        [
            new("user", "Q1") { Other = new Dictionary<string, JsonElement> { ["files"] = Json("""[{"name": "a.txt"}]""") } },
            new("assistant", "old") { ReasoningContent = "forgotten" },
            new("user", "Q2"),
            new("assistant", null) { ReasoningContent = "kept", ToolCalls = [new("weather", Json("""{"city": "Zürich", "days": 2, "units": ["C"]}""")), new("time", Json("{}"))] },
            new("tool", "sunny"),
            new("tool", "12:00"),
        ];

        string text = template.Render(messages, new ChatTemplateOptions { Tools = [tool] });

        Assert.Equal(
            "<longcat_tool_declare>\n# Tools\nYou have access to the following tools:\n\n## Tool namespace: function\n\n### Tool name: weather\nDescription: The weather of a city\n\n"
            + """InputSchema: {"type": "object", "properties": {"city": {"type": "string", "description": "Größe"}}}""" + "\n\n</longcat_tool_declare>"
            + "<longcat_user><longcat_files>\n[\n  {\n    \"name\": \"a.txt\"\n  }\n]\n</longcat_files>Q1<longcat_assistant>old</longcat_s><longcat_user>Q2"
            + "<longcat_assistant>\n<longcat_think>\nkept\n</longcat_think>\n<longcat_tool_call>weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Zürich</longcat_arg_value>\n"
            + "<longcat_arg_key>days</longcat_arg_key>\n<longcat_arg_value>2</longcat_arg_value>\n<longcat_arg_key>units</longcat_arg_key>\n<longcat_arg_value>[\"C\"]</longcat_arg_value>\n</longcat_tool_call>\n"
            + "<longcat_tool_call>time\n</longcat_tool_call>\n</longcat_s><longcat_user><longcat_tool_response>sunny</longcat_tool_response><longcat_tool_response>12:00</longcat_tool_response><longcat_assistant>",
            text);
    }

    [Fact]
    public void HeadersWithDates()
    {
        // Llama 3's constructs: header tokens, trim filters, a date from strftime_now unless one is given, `is defined`.
        ChatTemplate template = ChatTemplate.Parse(
            """
            {{- bos_token }}
            {%- if not date_string is defined %}
                {%- if strftime_now is defined %}
                    {%- set date_string = strftime_now("%d %b %Y") %}
                {%- endif %}
            {%- endif %}
            {%- if messages[0]['role'] == 'system' %}
                {%- set system_message = messages[0]['content']|trim %}
                {%- set messages = messages[1:] %}
            {%- else %}
                {%- set system_message = "" %}
            {%- endif %}
            {{- "<|start_header_id|>system<|end_header_id|>\n\n" + "Today Date: " + date_string + "\n\n" + system_message + "<|eot_id|>" }}
            {%- for message in messages %}
                {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
            {%- endif %}
            """,
            "headers");
        ChatTemplateOptions options = new() { BosToken = "<|begin_of_text|>", Clock = new Noon() };

        Assert.Equal(
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            template.Render([new("system", " S "), new("user", " Q\n")], options));
        Assert.Contains("Today Date: 1 May\n", template.Render([new("user", "Q")], options with { Variables = new Dictionary<string, object?> { ["date_string"] = "1 May" } }), StringComparison.Ordinal);
    }

    [Fact]
    public void ThinkingIsCutFromEarlierTurns()
    {
        // Qwen 3's constructs: a reversed walk over the messages, string methods on the reasoning, `is false`.
        ChatTemplate template = ChatTemplate.Parse(
            """
            {%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
            {%- for message in messages[::-1] %}
                {%- set index = (messages|length - 1) - loop.index0 %}
                {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
                    {%- set ns.multi_step_tool = false %}
                    {%- set ns.last_query_index = index %}
                {%- endif %}
            {%- endfor %}
            {%- for message in messages %}
                {%- set content = message.content %}
                {%- if message.role == "assistant" %}
                    {%- set reasoning = '' %}
                    {%- if '</think>' in content %}
                        {%- set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
                    {%- endif %}
                    {%- if loop.index0 > ns.last_query_index and reasoning %}
                        {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning.strip('\n') + '\n</think>\n\n' + content + '<|im_end|>\n' }}
                    {%- else %}
                        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
                    {%- endif %}
                {%- else %}
                    {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
                {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|im_start|>assistant\n' }}
                {%- if enable_thinking is defined and enable_thinking is false %}
                    {{- '<think>\n\n</think>\n\n' }}
                {%- endif %}
            {%- endif %}
            """,
            "thinking");
        ChatMessage[] messages = [new("user", "Q1"), new("assistant", "<think>\nhm\n</think>\n\nA1"), new("user", "Q2"), new("assistant", "<think>\nso\n</think>\n\nA2")];

        Assert.Equal(
            "<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n<think>\nso\n</think>\n\nA2<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
            template.Render(messages, new ChatTemplateOptions { Variables = new Dictionary<string, object?> { ["enable_thinking"] = false } }));
    }

    [Fact]
    public void RolesThatMustAlternate()
    {
        // Mistral's constructs: comparisons of comparisons, raise_exception, concatenated special tokens.
        ChatTemplate template = ChatTemplate.Parse(
            "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
            + "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token}}{% endif %}{% endfor %}",
            "alternating");
        ChatTemplateOptions options = new() { BosToken = "<s>", EosToken = "</s>" };

        Assert.Equal("<s>[INST] Q1 [/INST]A1</s>[INST] Q2 [/INST]", template.Render(s_chat[1..], options));
        Assert.Contains("Roles must alternate", Assert.Throws<ChatTemplateException>(() => template.Render([new("assistant", "A")], options)).Message, StringComparison.Ordinal);
    }

    private static JsonElement Json(string text)
    {
        using JsonDocument document = JsonDocument.Parse(text);
        return document.RootElement.Clone();
    }

    private sealed class Noon : TimeProvider
    {
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

        public override DateTimeOffset GetUtcNow() => new(2024, 7, 26, 12, 0, 0, TimeSpan.Zero);
    }
}
