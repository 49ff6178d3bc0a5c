using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>Templates in the manner of the families, short.</summary>
internal static class ChatTemplates
{
    public const string LongCatSource = """
        {%- if tools %}{{- '<longcat_tool_declare>' }}{% for tool in tools %}{{- tool.function.name ~ ' ' ~ (tool.function.parameters | tojson) ~ '\n' }}{% endfor %}{{- '</longcat_tool_declare>' }}{% endif %}
        {%- for message in messages %}
            {%- if message.role == 'assistant' %}
                {{- '<longcat_assistant>' ~ (message.content or '') }}
                {%- for call in message.tool_calls or [] %}{{- '<longcat_tool_call>' ~ call.function.name ~ ' ' ~ (call.function.arguments | tojson) ~ '</longcat_tool_call>' }}{% endfor %}
                {{- '</longcat_s>' }}
            {%- elif message.role == 'tool' %}{{- '<longcat_tool_response>' ~ message.name ~ ': ' ~ message.content ~ '</longcat_tool_response>' }}
            {%- else %}{{- '<longcat_' ~ message.role ~ '>' ~ message.content }}{% endif %}
        {%- endfor %}
        {{- '<longcat_assistant>' ~ ('<longcat_think>\n' if enable_thinking else '') }}
        """;

    public static ChatTemplate LongCat => ChatTemplate.Parse(LongCatSource, "longcat");
}
