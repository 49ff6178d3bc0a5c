// A chat in the terminal: Microsoft.Extensions.AI over the engine. One line is one turn; the whole chat goes to the model every time and its beginning comes out of the cache.
using System.Runtime.InteropServices;
using Chat;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Onnx;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

if (Arguments.Parse(args) is not { } arguments)
{
    Console.Error.WriteLine(Arguments.Usage);
    return 2;
}

string? temporary = null;
CancellationTokenSource? reply = null;

// Ctrl+C stops a reply; between replies, and while a checkpoint is exported, it ends the program, which leaves no export behind.
Console.CancelKeyPress += (_, pressed) =>
{
    CancellationTokenSource? running = reply;
    pressed.Cancel = running is not null;
    running?.Cancel();
    if (running is null)
    {
        DeleteTemporary();
    }
};
using PosixSignalRegistration terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, _ => DeleteTemporary());
try
{
    // 1. The model: an exported folder, or a checkpoint that is exported now.
    string folder = arguments.Folder;
    if (!File.Exists(Path.Combine(folder, "longcat.json")))
    {
        // Before anything is written: without a template it is no chat model.
        if (ChatTemplate.Load(folder) is null)
        {
            throw new CheckpointException(folder, "holds no chat template, so this is no chat model (longcat-nano is none either). Take the folder of one, such as a Qwen 3 or a Llama 3 Instruct.");
        }

        temporary = Directory.CreateTempSubdirectory("longcat-chat-").FullName;
        folder = OnnxExporter.Export(folder, Path.Combine(temporary, Path.GetFileName(Path.TrimEndingDirectorySeparator(folder)))).Folder;
    }

    using LongCatChatClient client = LongCatChatClient.Load(folder);
    Console.WriteLine($"{client.GetService<ChatClientMetadata>()!.DefaultModelId}: one line is one turn, /new begins again, /exit ends; Ctrl+C stops a reply.");

    // 2. One tool, to see calls: the model decides whether it wants to know.
    AIFunction clock = AIFunctionFactory.Create(() => DateTimeOffset.Now.ToString("f", System.Globalization.CultureInfo.InvariantCulture), "current_time", "The date and the time now.");
    ChatOptions options = new() { Instructions = arguments.System, MaxOutputTokens = arguments.MaxTokens, Seed = arguments.Seed, Tools = arguments.Clock ? [clock] : null };

    // 3. The chat.
    List<ChatMessage> chat = [];
    while (true)
    {
        Console.Write("\n> ");
        string? line = Console.ReadLine();
        if (line is null or "/exit")
        {
            return 0;
        }

        if (line == "/new")
        {
            chat.Clear();
            continue;
        }

        if (string.IsNullOrWhiteSpace(line))
        {
            continue;
        }

        int known = chat.Count;
        chat.Add(new ChatMessage(ChatRole.User, line));
        try
        {
            // Not disposed: the handler above may hold it still, and without timers there is nothing to free.
            reply = new CancellationTokenSource();
            await Terminal.ReplyAsync(client, chat, options, clock, reply.Token);
        }
        catch (OperationCanceledException)
        {
            Console.WriteLine("\n(stopped)");
            chat.RemoveRange(known, chat.Count - known);
        }
        catch (Exception error) when (error is InferenceException or ChatTemplateException)
        {
            Console.WriteLine($"\n(no reply: {error.Message})");
            chat.RemoveRange(known, chat.Count - known);
        }
        finally
        {
            reply = null;
        }
    }
}
catch (Exception error) when (error is CheckpointException or ChatTemplateException or InferenceException or NotSupportedException)
{
    Console.Error.WriteLine($"error: {error.Message}");
    return 1;
}
finally
{
    DeleteTemporary();
}

void DeleteTemporary()
{
    try
    {
        if (Interlocked.Exchange(ref temporary, null) is { } folder)
        {
            Directory.Delete(folder, recursive: true);
        }
    }
    catch (IOException)
    {
        // The export still writes into it: what is left lies among the system's temporary files.
    }
}
