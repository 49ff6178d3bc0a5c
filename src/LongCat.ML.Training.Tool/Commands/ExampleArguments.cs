using System.CommandLine;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>The options that say what a row of JSON lines holds.</summary>
internal sealed class ExampleArguments
{
    private readonly Option<string?> _text = new("--text") { Description = "The field with a text to learn, or with the text to label." };
    private readonly Option<string?> _prompt = new("--prompt") { Description = "The field with a prompt; --completion names what follows it." };
    private readonly Option<string?> _completion = new("--completion") { Description = "The field with what follows the prompt, its leading space included." };
    private readonly Option<string?> _chat = new("--chat") { Description = "The field with a list of messages {\"role\", \"content\"}; the assistant's are learned." };
    private readonly Option<string?> _label = new("--label") { Description = "The field with a label of --text." };
    private readonly Option<string?> _template = new("--prompt-template") { Description = "The prompt around a text to label, holding {text}." };
    private readonly Option<bool> _lossOnPrompt = new("--loss-on-prompt") { Description = "Learn prompts and users' turns too." };
    private readonly Option<string> _overlong = new("--overlong") { Description = "A row longer than --columns: truncate, skip or fail.", DefaultValueFactory = _ => "truncate" };
    private readonly Option<string> _badRows = new("--bad-rows") { Description = "A row that cannot be read: fail or skip.", DefaultValueFactory = _ => "fail" };

    public ExampleArguments()
    {
        _overlong.AcceptOnlyFromAmong("truncate", "skip", "fail");
        _badRows.AcceptOnlyFromAmong("fail", "skip");
    }

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _text, _prompt, _completion, _chat, _label, _template, _lossOnPrompt, _overlong, _badRows })
        {
            command.Options.Add(option);
        }
    }

    public ExampleSettings Read(ParseResult result) => new(
        new ExampleColumns
        {
            Text = result.GetValue(_text),
            Prompt = result.GetValue(_prompt),
            Completion = result.GetValue(_completion),
            Chat = result.GetValue(_chat),
            Label = result.GetValue(_label),
            PromptTemplate = result.GetValue(_template),
        },
        result.GetValue(_lossOnPrompt),
        result.GetValue(_overlong) switch { "skip" => OverlongExamples.Skip, "fail" => OverlongExamples.Fail, _ => OverlongExamples.Truncate },
        result.GetValue(_badRows) == "skip" ? BadRows.Skip : BadRows.Fail);
}
