using System.Text;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Chat.Replies;

/// <summary>
/// Splits what a model writes, as it comes, into answer, thoughts and calls of tools. A text that may turn out to be part of a mark is held back; line breaks next to marks are
/// dropped, since they belong to the format. One per reply, not thread-safe.
/// </summary>
internal sealed class ReplyParser
{
    private readonly ReplyFormat _format;
    private readonly ToolCallReader _reader;
    private readonly ToolCallFormats _tools;
    private readonly List<(string Mark, Mode Next)> _marks = [];
    private readonly StringBuilder _call = new();
    private string _pending = "";
    private string _close = "";
    private Mode _mode;
    private bool _atStart = true;
    private bool _leading;

    /// <param name="format">The model's marks.</param>
    /// <param name="schemas">The tools that may be called, by name; where there are none, calls are text.</param>
    /// <param name="openThought">The end of the thoughts that the prompt began (<see cref="ReplyFormat.OpenThought"/>); null for none.</param>
    /// <param name="plainAnswer">Whether the answer is data (constrained output) in which no mark means anything.</param>
    public ReplyParser(ReplyFormat format, IReadOnlyDictionary<string, JsonElement> schemas, string? openThought, bool plainAnswer)
    {
        _format = format;
        _reader = new ToolCallReader(schemas);
        _tools = schemas.Count == 0 || plainAnswer ? ToolCallFormats.None : format.Tools;
        (_mode, _close, _leading) = openThought is null ? (Mode.Answer, "", false) : (Mode.Thought, openThought, true);
        if (plainAnswer)
        {
            return;
        }

        _marks.AddRange(format.Thinking.Select(pair => (pair.Open, Mode.Thought)));
        Add(ToolCallFormats.LongCat, "<longcat_tool_call>", Mode.LongCatCall);
        Add(ToolCallFormats.Qwen, "<tool_call>", Mode.QwenCall);
        Add(ToolCallFormats.Mistral, "[TOOL_CALLS]", Mode.MistralCall);
        Add(ToolCallFormats.Llama, "<|python_tag|>", Mode.LlamaCall);

        void Add(ToolCallFormats kind, string mark, Mode next)
        {
            if (_tools.HasFlag(kind))
            {
                _marks.Add((mark, next));
            }
        }
    }

    private enum Mode
    {
        Answer,
        Thought,
        LongCatCall,
        QwenCall,
        MistralCall,
        LlamaCall,
    }

    /// <summary>Whether the model is thinking now.</summary>
    public bool Thinking => _mode == Mode.Thought;

    /// <summary>Calls of tools read so far.</summary>
    public int Calls { get; private set; }

    /// <summary>Takes text and adds what is now certain.</summary>
    public void Append(string text, List<AIContent> contents)
    {
        _pending += text;
        while (_mode switch
        {
            Mode.Answer => Answer(contents),
            Mode.Thought => Thought(contents),
            _ => Call(contents),
        })
        {
        }
    }

    /// <summary>Ends the reply.</summary>
    /// <param name="complete">Whether the model ended it, rather than a limit: only then can a call without its closing mark be one.</param>
    /// <param name="contents">Takes what was held back.</param>
    public void Flush(bool complete, List<AIContent> contents)
    {
        if (_mode == Mode.Thought)
        {
            Add(new TextReasoningContent(_pending.TrimEnd('\n')), contents);
        }
        else if (_mode == Mode.Answer)
        {
            Text(_pending, contents);
        }
        else
        {
            _call.Append(_pending);
            string body = _call.ToString();
            List<FunctionCallContent>? calls = !complete ? null : _mode switch
            {
                Mode.MistralCall => _reader.ReadMistral(body),
                Mode.LlamaCall => _reader.ReadValues(body.Replace("<|python_tag|>", ";", StringComparison.Ordinal)),
                _ => _reader.ReadTagged(body, _mode == Mode.LongCatCall),
            };
            End(calls, Opening(_mode) + body, contents);
        }

        _pending = "";
    }

    /// <summary>Text of the answer up to the next mark.</summary>
    /// <returns>Whether there is more to do.</returns>
    private bool Answer(List<AIContent> contents)
    {
        if (_leading)
        {
            _pending = _pending.TrimStart('\n');
            _leading = _pending.Length == 0;
        }

        if (_atStart && _tools.HasFlag(ToolCallFormats.Llama))
        {
            // A Llama 3 calls a tool by answering with nothing but JSON.
            string start = _pending.TrimStart();
            if (start.Length == 0)
            {
                return false;
            }

            if (start[0] == '{')
            {
                (_mode, _atStart) = (Mode.LlamaCall, false);
                return true;
            }
        }

        _atStart &= string.IsNullOrWhiteSpace(_pending);
        (int index, string mark, Mode next) = NextMark();
        if (index < 0)
        {
            int certain = Certain(_pending, _marks);
            Text(_pending[..certain], contents);
            _pending = _pending[certain..];
            return false;
        }

        Text(_pending[..index].TrimEnd('\n'), contents);
        _pending = _pending[(index + mark.Length)..];
        _mode = next;
        _leading = next == Mode.Thought;
        _close = next switch
        {
            Mode.Thought => _format.Thinking.First(pair => pair.Open == mark).Close,
            Mode.LongCatCall => "</longcat_tool_call>",
            Mode.QwenCall => "</tool_call>",
            _ => "",
        };
        return true;
    }

    private bool Thought(List<AIContent> contents)
    {
        if (_leading)
        {
            _pending = _pending.TrimStart('\n');
            _leading = _pending.Length == 0;
        }

        int end = _pending.IndexOf(_close, StringComparison.Ordinal);
        if (end < 0)
        {
            int certain = Certain(_pending, [(_close, Mode.Answer)]);
            Add(new TextReasoningContent(_pending[..certain]), contents);
            _pending = _pending[certain..];
            return false;
        }

        Add(new TextReasoningContent(_pending[..end].TrimEnd('\n')), contents);
        _pending = _pending[(end + _close.Length)..];
        (_mode, _leading, _atStart) = (Mode.Answer, true, true);
        return true;
    }

    /// <summary>A call between marks; forms without a closing mark last to the end of the reply.</summary>
    private bool Call(List<AIContent> contents)
    {
        int end = _close.Length == 0 ? -1 : _pending.IndexOf(_close, StringComparison.Ordinal);
        if (end < 0)
        {
            int certain = _close.Length == 0 ? _pending.Length : Certain(_pending, [(_close, Mode.Answer)]);
            _call.Append(_pending, 0, certain);
            _pending = _pending[certain..];
            return false;
        }

        _call.Append(_pending, 0, end);
        _pending = _pending[(end + _close.Length)..];
        string body = _call.ToString();
        if (body.AsSpan().TrimStart().StartsWith("{") && ToolCallReader.EndsInString(body))
        {
            _call.Append(_close);
            return true;
        }

        End(_reader.ReadTagged(body, _mode == Mode.LongCatCall), Opening(_mode) + body + _close, contents);
        return true;
    }

    private void End(List<FunctionCallContent>? calls, string written, List<AIContent> contents)
    {
        _call.Clear();
        (_mode, _leading) = (Mode.Answer, calls is not null);
        if (calls is null)
        {
            Text(written, contents);
            return;
        }

        Calls += calls.Count;
        contents.AddRange(calls);
    }

    private string Opening(Mode mode) => mode switch
    {
        Mode.LongCatCall => "<longcat_tool_call>",
        Mode.QwenCall => "<tool_call>",
        Mode.MistralCall => "[TOOL_CALLS]",
        _ => "",
    };

    private (int Index, string Mark, Mode Next) NextMark()
    {
        (int Index, string Mark, Mode Next) first = (-1, "", Mode.Answer);
        foreach ((string mark, Mode next) in _marks)
        {
            int index = _pending.IndexOf(mark, StringComparison.Ordinal);
            if (index >= 0 && (first.Index < 0 || index < first.Index))
            {
                first = (index, mark, next);
            }
        }

        return first;
    }

    /// <summary>How much of a text cannot belong to a mark; line breaks before one are held back with it.</summary>
    private static int Certain(string text, IReadOnlyList<(string Mark, Mode Next)> marks)
    {
        int held = 0;
        foreach ((string mark, _) in marks)
        {
            for (int length = Math.Min(mark.Length - 1, text.Length); length > held; length--)
            {
                if (text.AsSpan(text.Length - length).SequenceEqual(mark.AsSpan(0, length)))
                {
                    held = length;
                }
            }
        }

        int certain = text.Length - held;
        while (marks.Count > 0 && certain > 0 && text[certain - 1] == '\n')
        {
            certain--;
        }

        return certain;
    }

    private static void Text(string text, List<AIContent> contents) => Add(new TextContent(text), contents);

    private static void Add(AIContent content, List<AIContent> contents)
    {
        if (content is TextContent { Text.Length: > 0 } or TextReasoningContent { Text.Length: > 0 })
        {
            contents.Add(content);
        }
    }
}
