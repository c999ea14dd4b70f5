package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"liuyun/client"
	"liuyun/internal/testkit/fakecloud"
)

// Upload a file and wait until it can be watched.
func Example() {
	cloud := fakecloud.Serve() // stands for yours
	defer cloud.Close()
	c, err := client.New(cloud.URL, fakecloud.AdminKey, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	file := strings.NewReader("the bytes of talk.mov")
	asset, err := c.Upload(ctx, file, file.Size(), client.UploadOptions{Name: "talk.mov"})
	for err == nil && !asset.Status.Ended() {
		asset, err = c.Assets.Get(ctx, asset.ID) // or follow c.Events
	}
	if err != nil {
		log.Fatal(client.CodeOf(err), err)
	}
	fmt.Println(asset.Name, "is", asset.Status)
	// Output: talk.mov is ready
}

// Every list is a sequence, whose pages are fetched as it is read.
func ExampleAssets_List() {
	cloud := fakecloud.Serve()
	defer cloud.Close()
	cloud.Add("assets", fakecloud.Object{"id": "ast_1", "name": "holiday", "status": "ready"})
	c, err := client.New(cloud.URL, fakecloud.AdminKey, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for asset, err := range c.Assets.List(context.Background(), client.AssetFilter{Status: client.Ready}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(asset.ID, asset.Name)
	}
	// Output: ast_1 holiday
}

// A receiver of webhooks believes only what is signed.
func ExampleVerifyWebhook() {
	receive := func(w http.ResponseWriter, body []byte, header http.Header) {
		event, err := client.VerifyWebhook("whsec_c2VjcmV0", header, body)
		if err != nil {
			http.Error(w, "not signed", http.StatusForbidden)
			return
		}
		fmt.Fprintln(os.Stdout, event.Type)
	}
	answer := httptest.NewRecorder()
	receive(answer, []byte(`{"type":"asset.ready"}`), http.Header{})
	fmt.Println(answer.Code)
	// Output: 403
}
